"""What European passenger rights (regulation EC 261/2004, article 7) would have paid for a flight.

A flight that arrives three hours late or more owes each passenger a fixed sum that depends on the
distance flown; a cancelled flight owes it too. Long flights that arrive less than four hours late
owe half.
"""

KM_PER_MILE = 1.609344


def compensation(distance: int, arrival_delay: float | None) -> int:
    """Euros owed to each passenger. `distance` in miles, `arrival_delay` in minutes, None if it never arrived."""
    if arrival_delay is not None and arrival_delay < 180:
        return 0
    kilometres = distance * KM_PER_MILE
    if kilometres <= 1500:
        return 250
    if kilometres <= 3500:
        return 400
    if arrival_delay is not None and arrival_delay < 240:
        return 300
    return 600
