"""The command `dead`: messages that were set aside, shown, sent again or thrown away."""
