"""What decides, as data: one file for the market, one for each sleeve and each meta."""
