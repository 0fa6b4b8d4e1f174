"""The house's order: imports run downward, each library is known to one file."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / 's4jax'
# a module may import those of the lines below its own
STOREYS = [
    ['main', 'plan', 'count', 'predict', 'compare', 'truth', 'export'],
    ['exporting'],
    ['planning'],
    ['pipeline', 'predictor'],
    ['phases'],
    ['run'],
    ['work', 'identity', 'recorded', 'costs'],
    ['config', 'config_file', 'report'],
    ['training', 'latency'],
    ['models', 'data'],
    ['search'],
    ['elastic'],
    ['runtime'],
    ['settings'],
    ['errors'],
]
OWNERS = {
    'orbax': {'runtime'},
    'tensorflow_datasets': {'data'},
    'grain': {'data'},
    'absl': {'runtime'},
    'ml_collections': {'config_file'},
    'matplotlib': {'report'},
    'tensorboardX': {'training'},
    'optax': {'training'},
    'tqdm': {'data', 'predict'},
    'safetensors': {'models', 'exporting'},
    'torch': {'models', 'exporting'},
    'timm': {'exporting'},
    'onnxruntime': {'exporting'},
    'jax2onnx': {'exporting'},
    'huggingface_hub': {'models'},
    'tokenizers': {'models'},
}


def modules():
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE).with_suffix('').parts
        if parts != ('__init__',):
            yield parts[0], path


def imports(path):
    """(name, module of s4jax or None) of everything imported anywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            if node.module == 's4jax':
                yield from ((f's4jax.{alias.name}', alias.name) for alias in node.names)
            elif node.module.startswith('s4jax.'):
                yield node.module, node.module.split('.')[1]
            else:
                yield node.module, None


def test_imports_run_downward():
    storey = {name: level for level, names in enumerate(STOREYS) for name in names}
    seen = 0
    for name, path in modules():
        for _, target in imports(path):
            if target is not None and target != name:
                assert storey[name] < storey[target], (
                    f'{path.name} imports {target}, which is not below it'
                )
                seen += 1
    assert seen > 20
    assert set(storey) == {name for name, _ in modules()}


def test_explorer_and_evolution_know_no_framework():
    for path in (PACKAGE / 'search').glob('*.py'):
        known = list(imports(path))
        assert not {target.split('.')[0] for target, _ in known} & {'jax', 'flax', 'optax'}, path
        assert {inside for _, inside in known} <= {None, 'search', 'settings', 'errors'}, path


def test_each_library_is_known_to_its_owner_alone():
    for name, path in modules():
        for target, _ in imports(path):
            owners = OWNERS.get(target.split('.')[0])
            assert owners is None or name in owners, f'{path.name} imports {target}'


CODE = ('pickle', 'dill', 'cloudpickle', 'marshal', 'shelve', 'joblib', 'runpy')


def test_no_file_that_is_read_can_run_code():
    """A config is a program, all else is data: no pickles, no eval, no arrays of objects."""
    loads = 0
    for path in sorted(PACKAGE.rglob('*.py')):
        names = {target.split('.')[0] for target, _ in imports(path)}
        # models/weights/files.py needs the type of an error
        assert not names & set(CODE) or path.name == 'files.py', path
        for call in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)):
            name, options = ast.unparse(call.func), {k.arg: k.value for k in call.keywords}
            given = {key: ast.unparse(value) for key, value in options.items() if key}
            assert name not in ('exec', 'eval') or path.name == 'config_file.py', path
            assert not name.startswith('pickle.'), path
            if name == 'np.load':
                assert given['allow_pickle'] == 'False', path
            if name == 'torch.load':
                assert given['weights_only'] == 'True', path
            loads += name in ('np.load', 'torch.load')
            assert not name.endswith(('.extractall', '.extract', 'unpack_archive')), path
    assert loads > 4


def test_configs_hold_values_only():
    for path in sorted((ROOT / 'configs').glob('*.py')):
        assert {target.split('.')[0] for target, _ in imports(path)} <= {'ml_collections'}, path
        assert ast.get_docstring(ast.parse(path.read_text())), path
