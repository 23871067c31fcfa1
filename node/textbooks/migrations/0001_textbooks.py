import django.db.models.deletion
from django.db import migrations, models


# The words that passages are found by, as their stems; `rowid` is the passage's. The trigger follows every deletion,
# also those that Django cascades. A later migration that makes the passages' table anew has to make it again.
INDEX = (
    """CREATE VIRTUAL TABLE textbooks_words USING fts5(heading, text, detail=column, tokenize='unicode61')""",
    """CREATE VIRTUAL TABLE textbooks_vocabulary USING fts5vocab(textbooks_words, 'row')""",
    """CREATE TRIGGER textbooks_passage_gone AFTER DELETE ON textbooks_passage
       BEGIN DELETE FROM textbooks_words WHERE rowid = OLD.id; END""",
)
NO_INDEX = (
    "DROP TRIGGER textbooks_passage_gone",
    "DROP TABLE textbooks_vocabulary",
    "DROP TABLE textbooks_words",
)


def _on_sqlite(statements):
    # A node's database is always SQLite; tests may run its other tables on PostgreSQL.
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "sqlite":
            for statement in statements:
                schema_editor.execute(statement)

    return run


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Textbook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('title', models.CharField(max_length=120)),
                ('subject', models.CharField(blank=True, choices=[('', 'No subject'), ('mathematics', 'Mathematics'), ('physics', 'Physics'), ('chemistry', 'Chemistry'), ('biology', 'Biology'), ('geography', 'Geography'), ('history', 'History'), ('tajik-language', 'Tajik language'), ('tajik-literature', 'Tajik literature'), ('russian', 'Russian language'), ('english', 'English language'), ('informatics', 'Computer science'), ('other', 'Another subject')], max_length=32)),
                ('grade', models.PositiveSmallIntegerField(default=0)),
                ('sha256', models.CharField(max_length=64, unique=True)),
                ('size_bytes', models.PositiveBigIntegerField()),
                ('status', models.CharField(choices=[('waiting', 'Waiting'), ('reading', 'Reading'), ('ready', 'Ready'), ('stopped', 'Stopped'), ('failed', 'Failed')], default='waiting', max_length=12)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('pages_read', models.PositiveIntegerField(default=0)),
                ('pages_total', models.PositiveIntegerField(default=0)),
                ('error_code', models.CharField(blank=True, max_length=64)),
                ('added_at', models.DateTimeField()),
                ('read_at', models.DateTimeField(null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('grade__range', (0, 11))), name='textbooks_textbook_grade_range'), models.CheckConstraint(condition=models.Q(('status', 'failed'), ('error_code', ''), _connector='OR'), name='textbooks_textbook_failed_has_code')],
            },
        ),
        migrations.CreateModel(
            name='Passage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.PositiveIntegerField()),
                ('page', models.PositiveIntegerField()),
                ('heading', models.CharField(blank=True, max_length=200)),
                ('text', models.TextField()),
                ('textbook', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='passages', to='textbooks.textbook')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('textbook', 'place'), name='textbooks_passage_place_once')],
            },
        ),
        migrations.RunPython(_on_sqlite(INDEX), _on_sqlite(NO_INDEX)),
    ]
