"""Off-policy evaluation: would another policy have been better, as far as a log of past decisions can tell?"""

from pointsman.evaluation.ope.estimators import ESTIMATORS
from pointsman.evaluation.ope.log import DecisionLog
from pointsman.evaluation.ope.read import check, read
from pointsman.evaluation.ope.verdict import Evaluation, Limits, estimate

__all__ = ["ESTIMATORS", "DecisionLog", "Evaluation", "Limits", "check", "estimate", "read"]
