"""The Beam job that turns a folder of image/mask pairs into a data set."""
