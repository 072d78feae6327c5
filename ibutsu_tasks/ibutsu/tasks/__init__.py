"""The tasks an Ibutsu API server and its beat send, by subject; wire names are a public interface."""
