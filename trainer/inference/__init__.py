"""A trained model at work: on photos (`predictor`, `photos`, `pictures`) and in other formats (`exporters`)."""
