"""The sections of the page, in one file each: a function of the run that returns markup."""
