"""Spreadsheets: the day's set of forms as a workbook, and reports out of whatever workbook an office has."""
