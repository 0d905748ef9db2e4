"""One HTML page with the numbers and the plots inside it, to keep or to send."""

import argparse
import base64
import html
import string

from results import folder_of, read_json

PAGE = string.Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Handwritten digits</title>
<style>
  body { margin: 3rem auto; max-width: 46rem; padding: 0 1.2rem; color: #1f2933; background: #fff;
         font: 16px/1.55 system-ui, sans-serif; }
  h1 { margin: 0 0 .3rem; font-size: 1.9rem; }
  h2 { margin: 2.6rem 0 .6rem; font-size: 1.15rem; }
  .result { margin: 1.6rem 0; padding: 1rem 1.4rem; border-left: 4px solid #2b6cb0; background: #f3f7fb; }
  .result b { font-size: 1.5rem; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  th, td { padding: .4rem .6rem; border-bottom: 1px solid #e4e7eb; text-align: right; }
  th { font-weight: 600; color: #52606d; }
  th:first-child, td:first-child { text-align: left; }
  tr.best td { font-weight: 700; color: #2b6cb0; }
  img { max-width: 100%; }
  footer { margin-top: 3rem; color: #7b8794; font-size: .85rem; }
</style>
<h1>Handwritten digits</h1>
<p>$count models were trained on the same digits and compared on digits they had not seen.</p>
<p class="result"><b>$best</b> reads <b>$test</b> of $test_digits new digits right ($test_errors wrong).</p>
<h2>The models</h2>
<table>
<tr><th>model<th>accuracy<th>95&nbsp;% interval<th>wrong</tr>
$rows
</table>
<p><img src="$comparison" alt="Accuracy of each model with its interval"></p>
<h2>What is taken for what</h2>
<p><img src="$confusion" alt="Confusion matrix of each model"></p>
<h2>What $best gets wrong</h2>
<p><img src="$mistakes" alt="The test digits read wrong"></p>
<footer>Data: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository,
CC BY 4.0.</footer>
</html>
""")


def embedded(path: str) -> str:
    """A PNG as an address that carries the picture itself."""
    with open(path, "rb") as file:
        return "data:image/png;base64," + base64.b64encode(file.read()).decode("ascii")


def table_row(name: str, score: dict[str, float], best: str) -> str:
    """One model's line of the table."""
    cells = (
        html.escape(name),
        f"{score['accuracy']:.1%}",
        f"{score['low']:.1%} to {score['high']:.1%}",
        str(score["errors"]),
    )
    return f"<tr{' class=best' if name == best else ''}>" + "".join(f"<td>{cell}" for cell in cells) + "</tr>"


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("scores")
parser.add_argument("choice")
parser.add_argument("final")
parser.add_argument("--comparison", required=True)
parser.add_argument("--confusion", required=True)
parser.add_argument("--mistakes", required=True)
parser.add_argument("--out", required=True)
args = parser.parse_args()

scores, choice, final = read_json(args.scores), read_json(args.choice), read_json(args.final)
ranked = sorted(scores.items(), key=lambda item: -item[1]["accuracy"])
page = PAGE.substitute(
    count=len(scores),
    best=html.escape(choice["name"]),
    test=f"{final['test_accuracy']:.1%}",
    test_digits=choice["test_digits"],
    test_errors=final["test_errors"],
    rows="\n".join(table_row(name, score, choice["name"]) for name, score in ranked),
    comparison=embedded(args.comparison),
    confusion=embedded(args.confusion),
    mistakes=embedded(args.mistakes),
)
with open(folder_of(args.out), "w", encoding="utf-8") as file:
    file.write(page)
print(f"{choice['name']}: {final['test_accuracy']:.1%} on the test digits; {len(page) // 1024} KiB of report")
