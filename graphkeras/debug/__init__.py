"""Looking inside: flags that switch on dumps, checks and slower but more talkative ways of running."""
