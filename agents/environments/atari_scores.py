"""RL Unplugged's 46 Atari games, and what an online DQN scores in them."""

# Mean undiscounted return of Dopamine's DQN (the agent that its files call "DQN": Nature DQN with RMSProp, the
# legacy TensorFlow one, by whose like RL Unplugged's data were recorded) at the end of 200 million frames: the
# mean of the iterations 189 to 198 of five runs, 50 numbers (google/dopamine baselines/atari/data/<game>.json,
# fields Iteration, Value, Agent). Those are returns of training with sticky actions at epsilon 0.01, not of
# evaluation (google/dopamine issues 147 and 210). RL Unplugged's own scores of its online DQN are not published
# as a table.
ONLINE_DQN: dict[str, float] = {
    "Alien": 2479.45,
    "Amidar": 1162.02,
    "Assault": 1519.86,
    "Asterix": 2734.56,
    "Atlantis": 855208.2,
    "BankHeist": 590.06,
    "BattleZone": 17691.8,
    "BeamRider": 5481.96,
    "Boxing": 77.29,
    "Breakout": 93.95,
    "Carnival": 4791.74,
    "Centipede": 2589.1,
    "ChopperCommand": 2623.58,
    "CrazyClimber": 103835.52,
    "DemonAttack": 6030.48,
    "DoubleDunk": -6.24,
    "Enduro": 640.16,
    "FishingDerby": 0.63,
    "Freeway": 26.22,
    "Frostbite": 383.46,
    "Gopher": 5396.87,
    "Gravitar": 308.46,
    "Hero": 17092.12,
    "IceHockey": -6.16,
    "Jamesbond": 575.05,
    "Kangaroo": 11573.89,
    "Krull": 6048.28,
    "KungFuMaster": 22818.91,
    "MsPacman": 3349.31,
    "NameThisGame": 7210.25,
    "Phoenix": 4967.02,
    "Pong": 15.62,
    "Pooyan": 3260.7,
    "Qbert": 9910.57,
    "Riverraid": 11200.34,
    "RoadRunner": 37598.95,
    "Robotank": 59.72,
    "Seaquest": 1512.97,
    "SpaceInvaders": 1759.96,
    "StarGunner": 44099.08,
    "TimePilot": 3685.4,
    "UpNDown": 8817.34,
    "VideoPinball": 77725.37,
    "WizardOfWor": 2064.82,
    "YarsRevenge": 23641.35,
    "Zaxxon": 4634.52,
}

ONLINE_DQN_SOURCE = (
    "random: google-deepmind/dqn_zoo atari_data.py; online DQN: google/dopamine baselines/atari/data, agent DQN, "
    "training returns, iterations 189-198 of 5 runs"
)

# google-deepmind/deepmind-research rl_unplugged/atari.py: nine games to tune on and 37 to test on. (Its
# comments count 45 and 36; its lists have 46 and 37.)
TUNING_GAMES = (
    "BeamRider", "DemonAttack", "DoubleDunk", "IceHockey", "MsPacman", "Pooyan", "RoadRunner", "Robotank",
    "Zaxxon",
)  # fmt: skip
RL_UNPLUGGED_GAMES = tuple(ONLINE_DQN)
