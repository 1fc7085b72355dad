"""A fleet day in plain Python: lists and a loop over the next thing that happens, for requests that are known."""

import math


def day(requests, starts, p, choose):
    """Ledger of a day.

    requests: dicts of x, y, to_x, to_y, value, since, deadline; p: the kernel's parameters (decisions at events or in
    batches); choose(waiting, request, vehicles, now) gives a vehicle, "wait" or "refuse".
    """
    vehicles = [{"x": x, "y": y, "free": 0.0} for x, y in starts]
    booked = dict.fromkeys(("arrived", "served", "refused", "abandoned", "turned_away"), 0)
    booked |= dict.fromkeys(("value", "pickup", "empty", "loaded", "waiting", "busy"), 0.0)
    coming, waiting, now = list(requests), [], 0.0

    def road(x, y, to_x, to_y):
        return p.detour * math.hypot(x - to_x, y - to_y)

    def settle(request):
        """Decide; is the request gone?"""
        what = choose(waiting, request, vehicles, now)
        if what == "wait":
            return False
        waiting.remove(request)
        booked["waiting"] += now - request["since"]
        if what == "refuse":
            booked["refused"] += 1
            return True
        empty = road(what["x"], what["y"], request["x"], request["y"])
        loaded = road(request["x"], request["y"], request["to_x"], request["to_y"])
        minutes = (empty + loaded) * p.minutes_per_km + p.service_minutes
        booked["served"] += 1
        booked["value"] += request["value"]
        booked["pickup"] += empty * p.minutes_per_km
        booked["empty"] += empty
        booked["loaded"] += loaded
        what |= {"x": request["to_x"], "y": request["to_y"], "free": now + minutes, "since": now}
        trips.append((now, now + minutes))
        return True

    def go_through():
        for request in list(waiting):
            if any(v["free"] <= now for v in vehicles):
                settle(request)

    trips: list[tuple[float, float]] = []
    while True:
        arrival = coming[0]["since"]
        if p.batch > 0:
            look = (math.floor(now / p.batch + 1e-9) + 1) * p.batch if waiting else math.inf
        else:
            look = min([v["free"] for v in vehicles if v["free"] > now], default=math.inf) if waiting else math.inf
        look = look if look < p.horizon else math.inf
        leaving = min([r["deadline"] for r in waiting], default=math.inf)
        now = min(arrival, look, leaving)
        if now == leaving:
            gone = min(waiting, key=lambda r: r["deadline"])
            waiting.remove(gone)
            booked["abandoned"] += 1
            booked["waiting"] += now - gone["since"]
        elif now == arrival:
            booked["arrived"] += 1
            request = coming.pop(0)
            if p.batch > 0 and len(waiting) == p.waiting_limit:
                booked["turned_away"] += 1
            else:
                waiting.append(request)
            if now >= p.horizon:
                break
            if p.batch == 0:
                settle(request)
        else:
            go_through()
    booked["waiting"] += sum(now - r["since"] for r in waiting)
    booked["busy"] = sum(min(end, now) - begin for begin, end in trips)
    return booked | {"fleet": now * len(vehicles), "left": len(waiting)}
