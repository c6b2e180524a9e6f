"""Where everything is in a bundle."""

LEDGER = "audit.jsonl"
MANIFEST = "config/resolved_manifest.json"
REPORT = "reports/forensic_report.html"
SIGN_TEST = "data/directional_sign_test.json"

RAW = "data/returns_matrix.parquet"
SYNTHETIC = "data/synthetic_returns.parquet"
OPTIMISED = "data/portfolio_optimized_v2.json"
PHYSICAL = "data/portfolio_flattened.json"
STREAMS_SIGN_TEST = "data/directional_sign_test_pre_opt.json"

META_RETURNS = "data/meta_returns.parquet"
META_OPTIMISED = "data/meta_optimized.json"
TREE = "data/cluster_tree.json"
FLATTENED = "data/flattened.json"

SLEEVE_FILES = (MANIFEST, LEDGER, RAW, SYNTHETIC, OPTIMISED, PHYSICAL, STREAMS_SIGN_TEST, SIGN_TEST, REPORT)
META_FILES = (MANIFEST, LEDGER, META_RETURNS, META_OPTIMISED, TREE, FLATTENED, SIGN_TEST, REPORT)
