"""Layers around a model: each adds one thing to a request's way out or to an answer's way in, and can be left out.

The order that makes sense, from the outside in:

1. `Budget`: what is used up refuses before anything else is done.
2. `Cache`: what was answered before costs no turn, no second request, and no place in a breaker's count.
3. `Hedge`: the second request takes a turn of its own, and is told at once when the service is down.
4. `CircuitBreaker`: a service that is down is not waited for; a failure counts once, after its retries.
5. `RateLimit`: whoever waits here is sure to be let through; what `Retry` sends again counts too.
6. `Retry`: nearest to the wire, so all others see one request with one end.

Any other order works as well, and means what it says: a `Cache` outside of the `Budget`, say, answers also when the
budget is used up.
"""
