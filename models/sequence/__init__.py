"""Token mixers: one published sequence model a file, on one residual backbone (`_backbone`) and one learner (`_learner`)."""
