"""placeholder"""
def rules(problem): return {}
