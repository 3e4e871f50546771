"""Stands in for NumPy's build backend while its source archive is downloaded.

pip asks the backend for the metadata of an archive that it downloads. The real one would configure a
build for this machine, which needs compilers and downloads more. The archive has the metadata inside.
"""

import email
import os
import shutil


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    with open("PKG-INFO", encoding="utf-8") as file:
        metadata = email.message_from_file(file)
    folder = f"{metadata['Name']}-{metadata['Version']}.dist-info"
    os.mkdir(os.path.join(metadata_directory, folder))
    shutil.copy("PKG-INFO", os.path.join(metadata_directory, folder, "METADATA"))
    return folder
