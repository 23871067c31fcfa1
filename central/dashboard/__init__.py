"""The admin's first page: figures of all stations, each of which leads to the list that it counts."""
