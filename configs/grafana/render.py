"""A page becomes the JSON that Grafana loads: ids, places on the grid, units, colours."""

from __future__ import annotations

import json
from typing import Final, TypeAlias

from configs.grafana.layout import Placed, laid_out
from configs.grafana.model import Bars, Choice, Heatmap, Limit, Lines, Page, Panel, Row, Series, Stat

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

# Grafana 12's; older ones read what they know, newer ones lift it to their own.
SCHEMA_VERSION: Final = 41
DOCS_URL: Final = "http://localhost:9090/user"
"""Where docker-compose.yaml has Prometheus serve docs/."""
DATASOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}


def render(page: Page) -> str:
    """The text of the file, the same from run to run."""
    model: Json = {
        "uid": page.uid,
        "title": page.title,
        "description": page.description,
        "tags": ["scalechat"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair over all panels: what else happened at that moment?
        "timezone": "browser",
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m"]},
        "links": [_other_pages(), _catalogue()],
        "annotations": {"list": [_firing_alerts()]},
        "templating": {"list": [_datasource(), *map(_choice, page.choices), _docs()]},
        "panels": [_placed(index, placed) for index, placed in enumerate(laid_out(page.rows), 1)],
    }
    return json.dumps(model, indent=2, ensure_ascii=False) + "\n"


def _other_pages() -> Json:
    return {"type": "dashboards", "tags": ["scalechat"], "title": "Scale-Chat", "keepTime": True, "includeVars": True}


def _catalogue() -> Json:
    url = "${docs}/scale-problems/README.md"
    return {"type": "link", "title": "Scaling problems", "icon": "doc", "url": url, "targetBlank": True}


def _firing_alerts() -> Json:
    return {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}}{{name}}",
        "step": "5s",
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


def _docs() -> Json:
    return {
        "name": "docs",
        "label": "Documentation",
        "type": "textbox",
        "hide": 2,  # an address, not a question; ?var-docs=… names another
        "query": DOCS_URL,
        "current": {"text": DOCS_URL, "value": DOCS_URL},
    }


def _choice(choice: Choice) -> Json:
    query = f"label_values({choice.metric}, {choice.label})"
    return {
        "name": choice.variable,
        "label": choice.label.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": choice.variable},
        "refresh": 2,  # with the time range: servers come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # A job's "all" are the jobs listed: up exists for every job there is, also for those that are not ours.
        **({} if choice.label == "job" else {"allValue": ".+"}),
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed(index: int, placed: Placed) -> Json:
    place: Json = {"x": placed.x, "y": placed.y, "w": placed.width, "h": placed.height}
    head: dict[str, Json] = {"id": index, "gridPos": place}
    if isinstance(placed.shown, Row):
        return {**head, "type": "row", "title": placed.shown.title, "collapsed": False, "panels": []}
    return {**head, "datasource": DATASOURCE, **_panel(placed.shown)}


def _panel(panel: Panel) -> dict[str, Json]:
    head: dict[str, Json] = {"title": panel.title, "description": panel.description}
    if panel.docs:
        head["links"] = [{"title": "What it means, what to do", "url": f"${{docs}}/{panel.docs}", "targetBlank": True}]
    match panel:
        case Stat():
            return {**head, **_stat(panel)}
        case Lines():
            style: dict[str, Json] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if panel.stacked else 8}
            if panel.most is not None:
                style["axisSoftMax"] = panel.most
            if panel.log:
                style["scaleDistribution"] = {"type": "log", "log": 10}
            return {**head, **_over_time(panel, style, stacked=panel.stacked, bad=panel.bad)}
        case Bars():
            style = {"drawStyle": "bars", "lineWidth": 0, "fillOpacity": 70}
            return {**head, **_over_time(panel, style, stacked=True)}
        case Heatmap():
            return {**head, **_heatmap(panel)}
        case _:
            raise TypeError(f"no picture for {type(panel).__name__}")


def _defaults(panel: Panel) -> dict[str, Json]:
    return {"unit": panel.unit, **({"noValue": panel.without} if panel.without else {})}


def _target(index: int, series: Series, **more: Json) -> Json:
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "expr": series.expr,
        "legendFormat": series.legend,
        "range": True,
        "editorMode": "code",
        **more,
    }


def _stat(stat: Stat) -> dict[str, Json]:
    steps: list[Json] = [{"color": "text" if stat.warn is None else "green", "value": None}]
    if stat.warn is not None:
        steps.append({"color": "orange", "value": stat.warn})
    if stat.bad is not None:
        steps.append({"color": "red", "value": stat.bad})
    return {
        "type": "stat",
        "targets": [_target(0, stat.series[0])],
        "fieldConfig": {
            "defaults": {**_defaults(stat), "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "value",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    }


def _over_time(
    panel: Lines | Bars, style: dict[str, Json], *, stacked: bool, bad: float | None = None
) -> dict[str, Json]:
    custom: dict[str, Json] = {
        **style,
        "showPoints": "never",
        "spanNulls": False,  # a gap is a gap
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    defaults: dict[str, Json] = {**_defaults(panel), "color": {"mode": "palette-classic"}, "custom": custom}
    if "scaleDistribution" not in style:
        defaults["min"] = 0
    if bad is not None:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        steps: list[Json] = [{"color": "transparent", "value": None}, {"color": "red", "value": bad}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "type": "timeseries",
        "targets": [_target(index, one) for index, one in enumerate(panel.series)],
        "fieldConfig": {
            "defaults": defaults,
            "overrides": [_dashed(one.legend) for one in panel.series if isinstance(one, Limit)],
        },
        "options": {
            "legend": {
                "showLegend": True,
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _dashed(legend: str) -> Json:
    return {
        "matcher": {"id": "byName", "options": legend},
        "properties": [
            {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}},
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}},
            {"id": "custom.fillOpacity", "value": 0},
        ],
    }


def _heatmap(panel: Heatmap) -> dict[str, Json]:
    return {
        "type": "heatmap",
        "targets": [_target(0, panel.series[0], format="heatmap")],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": {
            "calculate": False,  # the buckets are the server's own
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Viridis", "steps": 64},
            "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
            "cellValues": {"unit": "cps"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "legend": {"show": True},
        },
    }
