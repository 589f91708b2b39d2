"""sccc: compiles trained neural networks (ONNX) into stochastic-computing hardware."""

__version__ = "0.1.0"
