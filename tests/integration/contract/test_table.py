from tests.integration.contract.table import FILE, table


def test_the_table_in_the_docs_is_what_the_tests_prove() -> None:
    assert FILE.read_text() == table(), "run: python -m tests.integration.contract"
