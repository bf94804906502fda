"""Small-image classification in JAX and Flax that draws its own data and tells how sure its figures are.

The public names are listed in `__init__.pyi`. Each is imported when it is first used: JAX and Flax take a second or
two, and the prediction of one image needs neither.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
