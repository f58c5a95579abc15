"""What the small text model learns from: real captions labelled by rules, and imitated ones."""
