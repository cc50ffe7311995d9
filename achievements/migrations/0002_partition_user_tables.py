from typing import ClassVar

from django.db import migrations

from achievements.partitions import PartitionByUser


class Migration(migrations.Migration):
    dependencies: ClassVar = [("achievements", "0001_initial")]

    operations: ClassVar = [
        PartitionByUser("UserProgress"),
        PartitionByUser("UserAchievement"),
        PartitionByUser("SeenTests"),
        PartitionByUser("Notification"),
    ]
