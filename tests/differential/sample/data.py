import datetime

from tests.differential.sample.models import Animal


def load() -> None:
    cow = Animal.objects.create(name="cow", weight=500, born=datetime.date(2020, 2, 29))
    Animal.objects.create(name="calf", weight=50.5, mother=cow)
