"""Make paired SQL files of migrations that are written for another tool."""
