"""Token mixers: one published sequence model a file, on one backbone (`_backbone`) and one learner (`_learner`)."""
