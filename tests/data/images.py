"""Small folders of images and archives in the official formats, made by the tests themselves."""

import io
import tarfile
import zipfile

import numpy as np
from PIL import Image


def noise(seed, height=20, width=24):
    """An image that no other seed has: uint8 (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels, kind='PNG', **options):
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


def make_folder(root, classes, first=0):
    """root/<class>/<i>.png, `classes[name]` of them; returns the seed after the last one used."""
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f'{i:03d}.png').write_bytes(encoded(noise(first)))
            first += 1
    return first


def tar_gz(path, files):
    with tarfile.open(path, 'w:gz') as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def zipped(path, files):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def cifar(path, classes):
    """cifar-10-binary.tar.gz, or cifar-100-binary.tar.gz; {(split, index): (label, pixels)}."""
    rng, contents, expected = np.random.default_rng(0), {}, {}
    hundred = classes == 100
    prefix = 'cifar-100-binary/' if hundred else 'cifar-10-batches-bin/'
    names = (
        {'train': ['train.bin'], 'test': ['test.bin']}
        if hundred
        else {'train': [f'data_batch_{i}.bin' for i in range(1, 6)], 'test': ['test_batch.bin']}
    )
    for split, files in names.items():
        for file in files:
            rows = []
            for _ in range((300 if split == 'train' else 100) // len(files)):
                label = len(expected) % classes
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                expected[split, len([key for key in expected if key[0] == split])] = label, pixels
                labels = bytes([label // 5, label] if hundred else [label])
                rows.append(labels + pixels.transpose(2, 0, 1).tobytes())
            contents[prefix + file] = b''.join(rows)
    if hundred:
        contents[prefix + 'coarse_label_names.txt'] = lines(f'coarse_{i}' for i in range(20))
        contents[prefix + 'fine_label_names.txt'] = lines(f'fine_{i}' for i in range(100))
    else:
        contents[prefix + 'batches.meta.txt'] = lines(f'class_{i}' for i in range(10)) + b'\n'
    tar_gz(path, contents)
    return expected


def lines(names):
    return ''.join(f'{name}\n' for name in names).encode()


def tiny_imagenet(path):
    """tiny-imagenet-200.zip: 200 classes, 3 training images and a validation image of each."""
    wnids = [f'n{10000000 + 7 * i}' for i in range(200)]
    contents = {
        'wnids.txt': '\n'.join(wnids[::-1]) + '\n',
        'words.txt': ''.join(f'{wnid}\tword {i}, synonym\n' for i, wnid in enumerate(wnids))
        + 'n99999999\telsewhere\n',
    }
    annotations = []
    for i, wnid in enumerate(wnids):
        contents[f'train/{wnid}/{wnid}_boxes.txt'] = ''
        for k in range(3):
            shape = (64, 64) if i == 5 else (64, 64, 3)  # some of the real ones are grey
            pixels = np.full(shape, i + k, np.uint8)
            contents[f'train/{wnid}/images/{wnid}_{k}.JPEG'] = encoded(pixels, 'JPEG')
        contents[f'val/images/val_{i}.JPEG'] = encoded(np.full((64, 64, 3), i, np.uint8), 'JPEG')
        contents[f'test/images/test_{i}.JPEG'] = encoded(np.zeros((64, 64, 3), np.uint8), 'JPEG')
        annotations.append(f'val_{i}.JPEG\t{wnid}\t0\t0\t62\t62\n')
    contents['val/val_annotations.txt'] = ''.join(annotations)
    zipped(path, {f'tiny-imagenet-200/{name}': content for name, content in contents.items()})
    return wnids


def sun397(path):
    """SUN397.tar.gz: five images of every split of TFDS, in all formats that the real one holds."""
    import tensorflow_datasets as tfds

    kinds = ['JPEG', 'PNG', 'GIF', 'BMP', 'JPEG']
    contents, expected = {'SUN397/README.txt': b'about'}, {}
    for split, short in (('train', 'tr'), ('validation', 'va'), ('test', 'te')):
        listed = tfds.core.tfds_path(f'image_classification/sun397_tfds_{short}.txt')
        for i, (name, kind) in enumerate(zip(listed.read_text().split(), kinds)):
            grey = 40 * (i + 1)
            pixels = np.full((600, 400 + 100 * i, 3), grey, np.uint8)
            contents['SUN397' + name] = encoded(pixels, kind)
            expected[split, name] = grey, name.rpartition('/')[0]
    contents['SUN397/a/abbey/sun_not_in_any_list.jpg'] = encoded(noise(0), 'JPEG')
    tar_gz(path, contents)
    return expected
