"""The read model: figures, receipts and rejections in one SQLite database, with the offsets they stand for."""
