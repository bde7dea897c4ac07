from django.db import models


class Animal(models.Model):
    name = models.CharField(max_length=30)
    weight = models.FloatField()
    born = models.DateField(null=True)
    mother = models.ForeignKey("self", models.CASCADE, null=True)
