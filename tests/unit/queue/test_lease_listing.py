"""How long a listing of the leases is believed, and for how long nothing is looked for after nothing was free."""

from pathlib import Path

import pytest

from campaign.core import timing
from campaign.core.processes import ProcessId
from campaign.queue.lease_listing import LeaseListing
from campaign.queue.leases import Leases
from support.clock import Clock

RESCAN = timing.TIMING.leases_rescan


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(tmp_path: Path, clock: Clock) -> Leases:
    return Leases(tmp_path, ProcessId.current(), "7", clock)


@pytest.fixture
def listing(leases: Leases, clock: Clock) -> LeaseListing:
    return LeaseListing(leases, clock)


def test_it_is_made_when_it_is_needed_first_and_again_after_a_while(listing: LeaseListing, clock: Clock) -> None:
    assert (listing.is_old(), listing.is_outdated()) == (True, True)
    listing.renew()
    assert (listing.is_old(), listing.is_outdated()) == (False, False)
    clock.now += RESCAN
    assert (listing.is_old(), listing.is_outdated()) == (True, False)


def test_one_that_a_faster_taker_made_wrong_is_made_again_at_once(listing: LeaseListing) -> None:
    listing.renew()
    listing.outdate()
    assert (listing.is_old(), listing.is_outdated()) == (True, True)


def test_a_look_for_one_question_does_not_put_off_the_next_listing(listing: LeaseListing) -> None:
    listing.look()
    assert listing.is_old()


def test_what_was_taken_is_known_by_its_generation(listing: LeaseListing, leases: Leases) -> None:
    assert leases.take("a", 0) is not None
    listing.took("a")
    assert (listing.generation("a"), listing.generation("b"), list(listing.taken)) == (1, 0, ["a"])
    assert (listing.state("a"), listing.state("b")) == ("alive", "free")
    listing.renew()
    assert listing.generation("a") == 1


def test_nothing_is_believed_until_the_next_listing_or_something_is_made(listing: LeaseListing, clock: Clock) -> None:
    assert not listing.has_nothing()
    listing.note_nothing()
    assert listing.has_nothing()
    listing.forget_nothing()
    assert not listing.has_nothing()
    listing.note_nothing()
    clock.now += RESCAN
    assert not listing.has_nothing()
