"""Rollouts: who should run which release, offered wave by wave, halting by themselves."""
