"""The order of the tests: files that take longest begin first, so that no process is left alone with one at the end."""

LONGEST = (
    "study/test_whole_study.py",
    "report/test_browser.py",
    "hostile/test_fuzz.py",
    "prove/test_protocol.py",
    "cli/test_verbs.py",
    "dig/test_run.py",
    "study/test_ray.py",
    "ingest/test_several.py",
)


def pytest_collection_modifyitems(items):
    places = {f"tests/{name}": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))
