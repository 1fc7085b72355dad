"""Off-policy evaluation: would another policy have been better, as far as a log of past decisions can tell?"""
