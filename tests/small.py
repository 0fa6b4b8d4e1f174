"""A small space of each family, which every test of how subnets are run goes through."""

from s4jax.search.space import Dimension

HIERARCHICAL = (  # in Swin, the second block of stage 1 is shifted, and stage 2 is one window
    Dimension('embed_dim', 4, 8, 2),
    Dimension('depth_1', 1, 2, 1),
    Dimension('depth_2', 1, 2, 1),
    Dimension('mlp_ratio', 1.5, 2.5, 1, per_block=True),
)
SMALL = {
    'vit': (
        dict(image_size=8, channels=1, patch=2, head_dim=8, classes=5),
        (
            Dimension('embed_dim', 16, 32, 8),
            Dimension('depth', 1, 3, 1),
            Dimension('num_heads', 1, 3, 1, per_block=True),
            Dimension('mlp_ratio', 1.5, 2.5, 0.5, per_block=True),
        ),
    ),
    'swin': (
        dict(image_size=16, channels=1, patch=2, window=4, num_heads=(1, 2), classes=5),
        HIERARCHICAL,
    ),
    'shunted': (
        dict(
            image_size=16, channels=1, num_heads=(2, 4), sr_ratios=(2, 1), stem_width=6, classes=5
        ),
        (Dimension('embed_dim', 4, 8, 2), Dimension('depth_1', 1, 1, 1), *HIERARCHICAL[2:]),
    ),
    'clip': (
        dict(image_size=4, channels=1, patch=2, width=16, head_dim=4, cross_heads=2, classes=5),
        (
            Dimension('embed_dim', 8, 12, 4),
            Dimension('depth', 1, 3, 1),
            Dimension('num_heads', 1, 3, 2, per_block=True),
            Dimension('mlp_ratio', 1.5, 2.5, 1, per_block=True),
        ),
    ),
}
