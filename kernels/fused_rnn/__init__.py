"""Head-wise recurrent networks over time with resident recurrent weights."""
