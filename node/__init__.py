"""The school's PC: chat without the internet, ratings, learning when nobody asks, and trade with the centre on contact.

Apps from the bottom up: installed and outbox, then chat → ratings → rounds → sync; none imports one after it. Its
Django processes load neither torch, transformers, peft, flwr, celery nor DRF.
"""
