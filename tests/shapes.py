"""The type checker that shape annotations are held against; as Python says, an int is fine where a float is asked."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
