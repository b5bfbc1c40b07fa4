from mltk.data.listing import list_dataset_directory as list_dataset_directory
from mltk.data.listing import list_valid_filenames_in_directory as list_valid_filenames_in_directory
from mltk.data.listing import shuffle_file_list_by_group as shuffle_file_list_by_group
from mltk.data.listing import split_file_list as split_file_list
from mltk.data.normalize import normalize as normalize
