"""The RNN transducer's loss."""
