"""Arrays that are looked at one by one are those of the whole update."""

import numpy as np
import pytest

from federation.learning.stored_update import StoredArrays
from federation.learning.update import update_read
from federation.wire.rounds import Precision, SchemeName
from tests.learning.plans import small_plan
from tests.learning.test_update import written


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("scheme", SchemeName)
def test_each_array_is_read_from_the_disk_as_the_whole_update_is(tmp_path, scheme, precision):
    content = written(plan=small_plan(scheme=scheme, precision=precision))
    path = tmp_path / "kept.update"
    path.write_bytes(content)

    arrays = StoredArrays(path, precision=precision)

    _header, whole = update_read(content, precision=precision)
    assert list(arrays) == list(whole)
    for name, array in whole.items():
        np.testing.assert_array_equal(arrays[name], array)
