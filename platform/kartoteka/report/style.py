"""The look of the report: system fonts, light and dark by the reader's own setting, fit for phones and paper."""

CSS = """
:root{color-scheme:light dark;--paper:#f7f5f0;--card:#fffefb;--ink:#20242a;--soft:#5b616b;--rule:#ddd7ca;
--track:#ece7dc;--accent:#1d5c88;--second:#a8570f;--good:#2f6d4a;--bad:#a32a2a;
--present:#1d5c88;--reordered:#3f8f74;--mixed:#c9932c;--unseen:#8b5a9c;
--serif:"Iowan Old Style","Palatino Linotype",Palatino,"Book Antiqua",Georgia,"Noto Serif",serif;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Helvetica Neue",Arial,sans-serif}
@media(prefers-color-scheme:dark){:root{--paper:#14161a;--card:#1c1f24;--ink:#e7e5df;--soft:#a3a9b3;--rule:#343941;
--track:#2a2e35;--accent:#79b7e6;--second:#e0a05c;--good:#7fc79f;--bad:#f08a80;
--present:#5fa6dc;--reordered:#63b598;--mixed:#dcb055;--unseen:#b78cc8}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans);-webkit-text-size-adjust:100%}
main,header,footer{max-width:70rem;margin:0 auto;padding:0 1.25rem}
h1,h2,h3,h4{font-family:var(--serif);font-weight:600;line-height:1.2;text-wrap:balance;overflow-wrap:anywhere}
h1{font-size:clamp(1.7rem,5vw,2.5rem);margin:.1em 0 .2em}
h2{font-size:1.55rem;margin:0 0 .9rem}
h3{font-size:1.12rem;margin:1.6rem 0 .6rem}
h4{font-size:1.1rem;margin:0 0 .25rem}
p{margin:.4rem 0 .8rem;max-width:46rem}
a{color:var(--accent)}
header{padding-top:2.2rem}
.over{font-size:.8rem;letter-spacing:.09em;text-transform:uppercase;color:var(--soft);margin:0}
.soft,.none{color:var(--soft)}
.none{font-style:italic}
.small{font-size:.86rem}
.facts{overflow-wrap:anywhere}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;margin:1.2rem 0 0;padding:.6rem 0;
border-block:1px solid var(--rule)}
nav a{text-decoration:none}nav a:hover{text-decoration:underline}
section{padding:2.2rem 0 1.2rem;border-bottom:1px solid var(--rule)}
section:last-child{border:0}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.5rem 3rem;align-items:start}
.two>*{min-width:0}
.two h3{margin-top:.4rem}
.tiles{display:flex;flex-wrap:wrap;gap:1px;background:var(--rule);
border:1px solid var(--rule);margin:1.4rem 0 1rem;padding:0}
.tiles div{flex:1 1 9rem;background:var(--card);padding:.8rem 1rem}
.tiles dt{font-size:.83rem;color:var(--soft)}
.tiles dd{margin:0;font:600 1.6rem/1.25 var(--serif);font-variant-numeric:lining-nums}
.balance{font-variant-numeric:tabular-nums lining-nums}
.ok::before,.not::before{font-weight:700;margin-right:.45em}
.ok::before{content:"\\2713";color:var(--good)}
.not{color:var(--bad)}.not::before{content:"\\2717"}
.scroll{overflow-x:auto;margin:.3rem 0 1rem}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums lining-nums}
th,td{text-align:left;vertical-align:baseline;padding:.38rem .9rem .38rem 0;border-bottom:1px solid var(--rule)}
th:last-child,td:last-child{padding-right:0}
thead th{font-weight:500;font-size:.83rem;color:var(--soft);white-space:nowrap}
tbody th{font-weight:500;overflow-wrap:break-word}
.n{text-align:right;white-space:nowrap}
.aloud{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.pairs tbody th{width:38%}
.bars tbody th{min-width:6.5rem;max-width:16rem}
.bars td:last-child{width:45%;min-width:5rem;vertical-align:middle}
.bars td:nth-child(n+6):last-child{width:18%}
.bar i{display:block;height:.72rem;background:var(--accent);border-radius:0 2px 2px 0;min-width:1px}
.range{position:relative;height:1rem;min-width:7rem;background:var(--track);border-radius:2px}
.ranges tbody th{min-width:6.9rem}
.ranges td:nth-child(2){width:42%;vertical-align:middle}
.range b,.range i,.range u{position:absolute;display:block}
.range b{height:1rem;top:0;background:var(--accent);opacity:.35;min-width:2px}
.range i{width:3px;height:1rem;top:0;margin-left:-1.5px;background:var(--accent)}
.range u{width:3px;height:1rem;top:0;margin-left:-1.5px;background:var(--second)}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1.3rem;list-style:none;margin:.4rem 0 1rem;padding:0;font-size:.88rem}
.key li::before{content:"";display:inline-block;width:.75rem;height:.75rem;margin-right:.45rem;border-radius:2px;
background:var(--swatch,var(--accent));vertical-align:-.05rem}
.stack{display:flex;height:1.7rem;border-radius:3px;overflow:hidden;gap:2px;margin:.5rem 0}
.stack i{display:block;background:var(--swatch,var(--accent));min-width:2px}
.present{--swatch:var(--present)}.reordered{--swatch:var(--reordered)}.mixed{--swatch:var(--mixed)}
.unseen{--swatch:var(--unseen)}.baseline{--swatch:var(--second)}
.columns{display:flex;align-items:flex-end;gap:1px;height:9rem;border-bottom:1px solid var(--soft)}
.columns i{flex:1 1 0;background:var(--accent);min-width:0}
.ticks{display:flex;justify-content:space-between;font-size:.83rem;color:var(--soft);font-variant-numeric:tabular-nums}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1.1rem;align-items:start}
.card{background:var(--card);border:1px solid var(--rule);border-top:3px solid var(--second);border-radius:3px;
padding:1rem 1.15rem .9rem;min-width:0;overflow-wrap:anywhere;break-inside:avoid}
.card p{margin:.3rem 0 .6rem;font-size:.9rem}
.card ol{list-style:none;margin:.6rem 0 0;padding:0}
.card li{padding:.5rem 0;border-top:1px solid var(--rule)}
.phrase{display:grid;grid-template-columns:minmax(0,1fr) 3.6rem 2.1rem;gap:.2rem .6rem;align-items:start}
.phrase strong{font-weight:600}
.tag{color:var(--ink)}
.tag::before{content:"";display:inline-block;width:.55rem;height:.55rem;border-radius:50%;margin-right:.35rem;
background:var(--swatch,var(--soft))}
.meter{display:block;height:.5rem;margin-top:.55rem;background:var(--track);border-radius:3px;overflow:hidden}
.meter i{display:block;height:100%;background:var(--accent)}
.score{font-size:.85rem;line-height:1.55rem;text-align:right;font-variant-numeric:tabular-nums}
.card .why{font-size:.82rem;color:var(--soft);margin:.15rem 0 0;line-height:1.4}
.why cite{font-style:italic}
details{margin:.4rem 0 .8rem}
summary{cursor:pointer;color:var(--accent);font-size:.92rem}
pre,code{font:.82rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
code{overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--track);border-radius:3px;
padding:.5rem .7rem;margin:.3rem 0 .8rem}
svg{display:block;width:100%;max-width:26rem;height:auto;font:12px var(--sans)}
svg text{fill:var(--soft)}
svg .axis{stroke:var(--soft);fill:none}svg .grid{stroke:var(--rule);fill:none}
svg .ideal{stroke:var(--soft);stroke-dasharray:4 4;fill:none}
svg .line{stroke:var(--accent);stroke-width:1.5;fill:none}svg .dot{fill:var(--accent);fill-opacity:.75}
svg.map{max-width:none}svg .bubble{fill:var(--accent);fill-opacity:.3;stroke:var(--accent);stroke-opacity:.6}
svg .bubble:hover{fill-opacity:.75}svg.map text{fill:var(--ink);pointer-events:none}
footer{padding-top:1rem;padding-bottom:3rem;color:var(--soft);font-size:.86rem}
@media(max-width:34rem){main,header,footer{padding-inline:1rem}.tiles div{flex-basis:40%}
.tiles dd{font-size:1.35rem}
.range{min-width:5rem}th,td{padding-right:.6rem}}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#bbb;--track:#eee}
body{font-size:10.5pt}nav{display:none}section{padding:1rem 0 .6rem}.scroll{overflow:visible}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
h2,h3,thead{break-after:avoid}tr,svg,.tiles,.columns{break-inside:avoid}
.cards{display:block}.card{margin:0 0 1rem;break-inside:auto}.card li{break-inside:avoid}}
"""
