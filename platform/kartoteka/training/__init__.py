"""The one training loop: data from Ray Data, workers of Ray Train, an engine of DeepSpeed."""
