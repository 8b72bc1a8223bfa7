"""Which checkpoints may go."""

from hypothesis import given
from hypothesis import strategies as st

from workload.manifest import folder_name
from workload.vault.inventory import superfluous

FOLDERS = st.dictionaries(
    st.builds(folder_name, st.integers(0, 50), st.text("0123456789abcdef", min_size=8, max_size=8)), st.booleans()
)


@given(FOLDERS, st.integers(1, 4), st.data())
def test_the_last_good_ones_stay_and_nothing_else(folders: dict[str, bool], keep: int, data: st.DataObject) -> None:
    bad = {folder for folder in folders if data.draw(st.booleans())}
    good = sorted((f for f, committed in folders.items() if committed and f not in bad), reverse=True)
    assert sorted(set(folders) - set(superfluous(folders, keep=keep, bad=bad))) == sorted(good[:keep])


@given(FOLDERS, st.integers(1, 4))
def test_what_was_committed_just_now_stays_even_below_an_abandoned_future(folders: dict[str, bool], keep: int) -> None:
    newest = folder_name(0, "00000000")
    gone = superfluous({**folders, newest: True}, keep=keep, newest=newest)
    assert newest not in gone
