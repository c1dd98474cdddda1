"""The order system's own stock, as Django maps it."""

from django.db import models


class Stock(models.Model):  # type: ignore[misc]  # noqa: DJ008 - nobody prints it
    sku = models.TextField(primary_key=True)
    quantity = models.IntegerField()

    class Meta:
        db_table = "stock"
