"""The training worker: a GPT in PyTorch that reports its vitals through `runwell`.

Run it with `python -P -m trainer --config FILE` (the server does) or `runwell train`.
"""
