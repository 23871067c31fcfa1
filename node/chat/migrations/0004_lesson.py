
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0003_turn_parent'),
    ]

    operations = [
        migrations.AddField(
            model_name='conversation',
            name='title',
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.AddField(
            model_name='turn',
            name='grade',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='turn',
            name='is_hinted',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='turn',
            name='subject',
            field=models.CharField(blank=True, choices=[('', 'No subject'), ('mathematics', 'Mathematics'), ('physics', 'Physics'), ('chemistry', 'Chemistry'), ('biology', 'Biology'), ('geography', 'Geography'), ('history', 'History'), ('tajik-language', 'Tajik language'), ('tajik-literature', 'Tajik literature'), ('russian', 'Russian language'), ('english', 'English language'), ('informatics', 'Computer science'), ('other', 'Another subject')], max_length=32),
        ),
        migrations.AddIndex(
            model_name='turn',
            index=models.Index(fields=['conversation', 'asked_at'], name='chat_turn_in_order'),
        ),
        migrations.AddConstraint(
            model_name='turn',
            constraint=models.CheckConstraint(condition=models.Q(('grade__range', (0, 11))), name='chat_turn_grade_range'),
        ),
    ]
